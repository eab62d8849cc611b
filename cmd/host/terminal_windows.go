package main

import "os"

// readsKeys says whether keys can be read one by one. Here nobody has tried it.
const readsKeys = false

func waitBriefly(int, uint8) error { return nil }

func notifyResize(chan os.Signal) {}

func stopResize(chan os.Signal) {}
