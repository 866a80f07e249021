"""Helpers that tests share: endpoints, proxies that inject faults, commands, content."""
