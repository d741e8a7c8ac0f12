"""The core: which edges exist, and the solve ``z = σ(zW + a)`` over them."""
