"""What people touch: the command line (and later the web app). Knows pipelines."""
