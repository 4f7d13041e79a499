"""``python -m jean_cli``: the executable where its folder is not on the path."""

from jean_cli.main import main

main()
