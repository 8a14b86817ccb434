"""The command line: options become one library call, results become words and exit codes."""
