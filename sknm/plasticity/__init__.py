"""The rules that change a topology while it is trained."""
