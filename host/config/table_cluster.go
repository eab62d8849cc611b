package config

import "time"

func clusterKnobs() []Knob {
	const layer = "cluster"
	return []Knob{
		{
			Name: "cluster_listen", Kind: Text, Scope: OfHost, Layer: layer, Effect: ByRestart, check: checkAddress,
			Text: "HOST:PORT at which other nodes and clients reach this host, 7070 where no port is given, any for 0; empty: it's no node of a cluster, and listens on its data directory's socket alone.",
			slot: in(func(s *Settings) *string { return &s.ClusterListen }),
		},
		{
			Name: "cluster_advertise", Kind: Text, Scope: OfHost, Layer: layer, Effect: ByRestart, check: checkAddress,
			Text: "HOST:PORT that others are told to dial, where it isn't the address that this host listens on.",
			slot: in(func(s *Settings) *string { return &s.ClusterAdvertise }),
		},
		{
			Name: "join", Kind: Texts, Scope: OfHost, Layer: layer, Effect: ByRestart, check: checkAddresses,
			Text: "Addresses of members of the cluster that this host is to become a node of; it's looked at again where no member is found any more.",
			slot: in(func(s *Settings) *[]string { return &s.Join }),
		},
		{
			Name: "join_token", Kind: Text, Scope: OfHost, Layer: layer, Effect: ByRestart, Secret: true,
			Text: "What shows that this host may join, as `snakepit cluster token` prints it.",
			slot: in(func(s *Settings) *string { return &s.JoinToken }),
		},
		{
			Name: "tls_dir", Kind: Text, Scope: OfHost, Layer: layer, Effect: ByRestart,
			Text: "The folder with this node's certificate and key, or a client's, and with the certificate of the cluster's authority; empty: plain text, which only loopback addresses allow.",
			slot: in(func(s *Settings) *string { return &s.TLSDir }),
		},
		{
			Name: "timing", Kind: Choice, Default: "lan", Choices: []string{"lan", "slow", "wan"}, Scope: OfHost, Layer: layer, Effect: ByRestart,
			Text: "How patient the nodes are with each other; all of a cluster have the same.",
			slot: in(func(s *Settings) *string { return &s.Timing }),
		},
		{
			Name: "rehome_after", Kind: Duration, Default: "0s", Min: "0s", Max: "24h", Scope: OfHost, Layer: layer, Effect: ByRestart,
			Text: "How long the sessions of a node that died wait for it to come back before others take them over; all of a cluster have the same.",
			slot: in(func(s *Settings) *time.Duration { return &s.RehomeAfter }),
		},
		{
			Name: "spill", Kind: Int, Default: "off", Min: "1", Max: "1000000", Words: []Word{{"off", 0}}, Scope: OfPool, Layer: layer, Effect: Live,
			Text: "How many calls may wait for each slot of the pool before one without a session goes to another node that has its tool; off: none does.",
			slot: in(func(s *Settings) *int { return &s.Spill }),
		},
		{
			Name: "save_timeout", Kind: Duration, Default: "5s", Min: "1ms", Max: "1h", Scope: OfHost, Layer: layer, Effect: ByRestart,
			Text: "How long a worker may take to save a session that is about to move to another node, by its adapter's on_session_save.",
			slot: in(func(s *Settings) *time.Duration { return &s.SaveTimeout }),
		},
		{
			Name: "max_saved", Kind: Bytes, Default: "1MiB", Min: "0", Max: "64MiB", Scope: OfHost, Layer: layer, Effect: ByRestart,
			Text: "How much a worker may save of one session; 0: nothing is saved, and the session moves with its replicated state alone.",
			slot: in(func(s *Settings) *int64 { return &s.MaxSaved }),
		},
	}
}
