"""`python -m afina` is the command `afina`."""

from afina.cli import main

if __name__ == "__main__":
    main(prog_name="afina")
