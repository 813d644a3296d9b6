"""One command a file. Their modules load nothing heavy until they run, so that `xattn --help` answers at once."""
