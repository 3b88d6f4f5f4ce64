"""Jobs as rows with leases: the worker that claims them and the handlers that do them.

worker        claims jobs, keeps their leases alive, writes down how they ended
handlers      the kind of a job -> the use case that does it
job_context   what a handler is given: progress, news, the end; beating keeps it alive
retries       failures that may pass, and pauses before the next attempt
processes     names of workers, and which of them are dead
shares        the even share of each worker in jobs without an end
foreground    long use cases for a terminal that waits: jobs all the same
alerts        deliveries that are due, and cameras without a picture
archive, fleet, node_reader, ray_cluster    an archive read by many readers, here or on Ray
"""
