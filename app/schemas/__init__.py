"""What goes over wires: the JSON documents of the API and of `--json`."""
