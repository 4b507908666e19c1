"$program" node sleep --cluster-id "$cluster" --run "$run" --wake-after 45m --wait 170s
