# The operator's account drives HAProxy by its socket, as a member of its group, and needs no sudo here.
usermod --append --groups haproxy deploy
echo 1 > /var/lib/haproxy/server-state
systemctl enable haproxy keepalived
systemctl start --no-block haproxy keepalived
