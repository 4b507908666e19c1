"$program" node unpublish --quiet --cluster-id "$cluster" --run "$run" --print-proof "$instance"
