"""The long fault scenarios run on an exchange of their own, made as for the system tests."""

from tests.system.conftest import exchange

__all__ = ["exchange"]
