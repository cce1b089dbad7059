"""The queue of jobs, and the workers that do them."""
