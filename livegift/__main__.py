"""`python -m livegift`."""

from livegift.cli import main

main()
