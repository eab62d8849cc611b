package rpc

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/snakepit-go/snakepit/host/members"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// surveyWait is how long a node has to say how it is. One that needs longer is of
// no use to its cluster.
const surveyWait = time.Second

// survey asks every member how it is, all at once, and judges what they say.
func survey(ctx context.Context, view ClusterView) members.Cluster {
	ctx, cancel := context.WithTimeout(ctx, surveyWait)
	defer cancel()
	c := view.View()
	answers := map[string]*members.Cluster{}
	var mu sync.Mutex // guards answers
	var asking sync.WaitGroup
	for _, n := range c.Nodes {
		if !n.Member || n.ID == c.Self {
			continue
		}
		asking.Go(func() {
			if a, answered := ask(ctx, view, n.ID); answered {
				mu.Lock()
				defer mu.Unlock()
				answers[n.ID] = a
			}
		})
	}
	asking.Wait()
	c.Hear(answers)
	c.Judge()
	return c
}

// ask asks one node; nil where it's there, but of a program that doesn't know the question.
func ask(ctx context.Context, view ClusterView, node string) (a *members.Cluster, answered bool) {
	conn, err := view.Dial(ctx, node)
	if err != nil {
		return nil, false
	}
	w, err := snakepitv1.NewClusterClient(conn).Status(ctx, &snakepitv1.ClusterStatusRequest{HereOnly: true})
	if err != nil {
		return nil, status.Code(err) == codes.Unimplemented
	}
	c := members.FromWire(w)
	return &c, true
}
