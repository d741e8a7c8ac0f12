"""What is told and proved of fitted networks that solve an equation."""
