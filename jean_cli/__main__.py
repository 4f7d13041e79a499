"""``python -m jean_cli``: runs ``jean`` where its executable is not on the PATH."""

from jean_cli.main import main

main()
