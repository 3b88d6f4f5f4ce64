"""Jobs as rows with leases: the worker that claims them and the handlers that do them."""
