"""Where and how tensors are computed: devices, threads, arrays, torch's settings."""
