package system.log

mask contains "/input/arguments/password"

mask contains {"op": "upsert", "path": "/input/subject/name", "value": "someone"}
