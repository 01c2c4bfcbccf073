"""`python -m linlight`, the same program as `linlight`."""

from linlight.cli.main import main

if __name__ == "__main__":
    main()
