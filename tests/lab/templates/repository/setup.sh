systemctl enable lab-repository
systemctl start --no-block lab-repository
