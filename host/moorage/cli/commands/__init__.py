"""The commands, a file for each noun. ``moorage.cli.main`` loads the file of the one that was asked for."""
