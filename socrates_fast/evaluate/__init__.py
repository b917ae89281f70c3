"""How far predicted answers are from people's, beside the floors that give figures a meaning."""
