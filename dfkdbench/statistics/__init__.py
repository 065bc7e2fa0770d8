"""What records of several seeds and cells say together: intervals, paired differences, aggregates, ranks.

Only `accuracy_final` enters. A cell is data set, pair, teacher, budget, protocol and league; nothing is averaged,
subtracted or ranked across protocols, budgets or leagues.
"""
