"""What an answer says when there is nothing at a path, or when the server itself fails."""

import io
import json
import logging

import httpx
import pytest
import structlog

from service import telemetry
from service.app import App
from service.http import edge, error_responses
from service.http.edge import Edge
from service.sql.connection import DatabaseUnavailable
from tests.conftest import MakeClient, http_to
from tests.http.refusals import GRANT, assert_refused
