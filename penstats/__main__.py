"""`python -m penstats`."""

import sys

from penstats.cgi import main

sys.exit(main())
