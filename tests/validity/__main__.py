"""`python -m tests.validity`: violations and mean coverage of every threshold method."""

from tests.validity.thresholds import main

if __name__ == "__main__":
    main()
