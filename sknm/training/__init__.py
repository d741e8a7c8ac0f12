"""The engine behind ``fit``: network, batches, schedule, early stopping, progress."""
