# Every host: who it is, who may come in, where its packages come from.
hostname @NAME@ 2>/dev/null || true
cat >> /etc/hosts <<'HOSTS'
@HOSTS@
HOSTS
install -m 600 /lab/lab_host_key /etc/ssh/lab_host_key
install -m 644 /lab/lab_host_key-cert.pub /etc/ssh/lab_host_key-cert.pub
install -d -m 700 -o deploy -g deploy /home/deploy/.ssh
install -m 600 -o deploy -g deploy /lab/authorized_keys /home/deploy/.ssh/authorized_keys
install -d -m 755 -o deploy -g deploy /var/lib/alwayson
rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
cat > /etc/apt/sources.list.d/lab.list <<'SOURCES'
deb [trusted=yes] http://@REPOSITORY@/lab ./
deb [trusted=yes] http://@REPOSITORY@/lab-security ./
SOURCES
cp -r --preserve=mode,links /lab/root/. /
