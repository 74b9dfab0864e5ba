"""Coins for money: orders, payments, refunds, chargebacks and withdrawals."""
