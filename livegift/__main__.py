"""`python -m livegift`."""

from livegift.cli.main import main

main()
