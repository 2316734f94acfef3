"""`python -m neuronxcc`."""

import sys

from neuronxcc.driver.CommandDriver import main

if __name__ == "__main__":
    sys.exit(main())
