"""The two HTTP interfaces of an endpoint, Hub and CAS, as coroutines that return typed values."""
