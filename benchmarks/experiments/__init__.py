"""Experiments behind single tables and figures of the documentation. Nothing else imports them."""
