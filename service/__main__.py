"""python -m service: the command `watchword`."""

from service.cli.main import main

main()
