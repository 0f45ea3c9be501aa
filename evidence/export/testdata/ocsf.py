"""Writes ocsf-1.8.0.json: JSON Schema of three classes of the published OCSF schema 1.8.0, without its prose.

The schema is the one that PyPI's ocsf-json-schema 1.2.0 carries, exported from schema.ocsf.io (Apache-2.0):

    python3 -m venv v && v/bin/pip install ocsf-json-schema==1.2.0 && v/bin/python ocsf.py
"""

import json

from ocsf_json_schema import get_ocsf_schema
from ocsf_json_schema.embedded import OcsfJsonSchemaEmbedded

PROSE = {"title", "description", "$comment", "deprecated", "$id", "$schema"}


def bare(value, names=False):
    if isinstance(value, dict):
        return {k: bare(v, k in ("properties", "$defs")) for k, v in value.items() if names or k not in PROSE}
    return [bare(v) for v in value] if isinstance(value, list) else value


made = OcsfJsonSchemaEmbedded(get_ocsf_schema("1.8.0"))
objects, classes = {}, {}
for name, uid in ("compliance_finding", 2003), ("detection_finding", 2004), ("iam_analysis_finding", 2008):
    schema = bare(made.get_class_schema(name, []))
    for other, body in schema.pop("$defs").items():
        if objects.setdefault(other, body) != body:
            raise SystemExit(f"{other} differs between classes")
    classes[str(uid)] = schema
with open("ocsf-1.8.0.json", "w") as f:
    lines = [f'"{k}": {json.dumps(v, sort_keys=True)}' for k, v in sorted({**objects, **classes}.items())]
    f.write('{"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": {\n' + ",\n".join(lines) + "\n}}\n")
