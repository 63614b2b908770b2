"""Control: commands from the control port, the config file and the `-o` option."""
