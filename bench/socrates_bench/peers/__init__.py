"""What a user would pick instead, each in a process of its own: ``bench decode --vs``."""
