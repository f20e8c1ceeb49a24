# Backups and migrations run as the database server's own account.
printf 'deploy ALL=(postgres) NOPASSWD: ALL\ndeploy ALL=(root) NOPASSWD: ALL\n' > /etc/sudoers.d/deploy
chmod 440 /etc/sudoers.d/deploy
install -d -m 700 -o postgres -g postgres /var/backups/alwayson /var/lib/alwayson
chown postgres:postgres /etc/pgbouncer/pgbouncer.ini /etc/pgbouncer/userlist.txt
chmod 640 /etc/pgbouncer/pgbouncer.ini /etc/pgbouncer/userlist.txt
data=/var/lib/postgresql/15/main
configuration=/etc/postgresql/15/main
[ -d "$configuration" ] || pg_createcluster 15 main -- --data-checksums
cat /lab/root/etc/postgresql/lab.conf >> "$configuration/postgresql.conf"
cat /lab/root/etc/postgresql/lab_hba.conf >> "$configuration/pg_hba.conf"
if @IS_PRIMARY@; then
  pg_ctlcluster 15 main start
  # As a script on standard input: a password never stands among a process's arguments.
  runuser -u postgres -- psql --quiet --set ON_ERROR_STOP=1 <<'SQL'
CREATE ROLE @OWNER@ LOGIN CREATEDB PASSWORD '@PASSWORD_UPGRADE@';
GRANT pg_monitor TO @OWNER@;
CREATE ROLE @APPLICATION@ LOGIN PASSWORD '@PASSWORD_SHOP@';
CREATE ROLE replication LOGIN REPLICATION PASSWORD '@PASSWORD_REPLICATION@';
SELECT pg_create_physical_replication_slot('standby');
SQL
  for database in @DATABASES@; do
    runuser -u postgres -- createdb --owner @OWNER@ "$database"
    { echo 'SET ROLE @OWNER@;'; cat /lab/schema.sql; } | runuser -u postgres -- psql --quiet --set ON_ERROR_STOP=1 --dbname "$database"
  done
  pg_ctlcluster 15 main stop
else
  rm -rf "$data"
  printf '@PRIMARY@:5432:*:replication:@PASSWORD_REPLICATION@\n' | install -m 600 -o postgres -g postgres /dev/stdin /var/lib/postgresql/.pgpass
  until runuser -u postgres -- pg_basebackup --host @PRIMARY@ --username replication --pgdata "$data" --write-recovery-conf --slot standby \
      --checkpoint fast --no-password; do
    rm -rf "$data"
    sleep 1
  done
fi
systemctl enable postgresql@15-main pgbouncer
systemctl start --no-block postgresql@15-main pgbouncer
