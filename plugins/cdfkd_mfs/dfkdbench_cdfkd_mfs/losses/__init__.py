"""Losses that pair the heads of the student with the teachers, and those that ask every teacher."""
