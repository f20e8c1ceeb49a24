# Patching, a reboot and the service need root; sudo asks for no password, because nobody is there to type one.
echo 'deploy ALL=(root) NOPASSWD: ALL' > /etc/sudoers.d/deploy
chmod 440 /etc/sudoers.d/deploy
chown root:shop /etc/shop.env
chmod 640 /etc/shop.env
systemctl enable shop
systemctl start --no-block shop
