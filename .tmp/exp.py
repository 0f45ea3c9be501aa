import re,sys
f,start,frm,to=sys.argv[1:5]
s=open(f).read()
s=s.replace('{from:DateTime64(3)}',f"toDateTime64('{frm}',3)").replace('{to:DateTime64(3)}',f"toDateTime64('{to}',3)").replace('{interval:UInt32}','3600')
for v in ('tenant','server','agent','severity','review'): s=s.replace('{%s:String}'%v,"'*'")
s=s.replace('{start:String}',"'%s'"%start)
print(s)
