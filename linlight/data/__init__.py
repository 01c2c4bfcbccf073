"""x and y or a table in; batches and statistics out, in memory or streamed, on any number of processes."""
