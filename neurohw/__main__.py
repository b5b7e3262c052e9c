"""`python -m neurohw` is the command `neurohw`."""

from neurohw.cli import main

if __name__ == "__main__":
    main(prog_name="neurohw")
