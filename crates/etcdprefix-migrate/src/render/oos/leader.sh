found=$("$program" node leader --quiet --print "$instance")
# The engine compares it with the instance's id: without a line's end.
printf '%s' "$found"
