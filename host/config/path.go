package config

import "path/filepath"

// Folder is where the file's relative paths begin; empty: there's no file.
func (c *Config) Folder() string {
	if c.File == "" {
		return ""
	}
	return filepath.Dir(c.File)
}

// DataDirectory is the knob data_dir, made whole where it's from the file; empty:
// nobody has set it.
func (c *Config) DataDirectory() string {
	if c.Origin("data_dir").Kind == FromFile && c.DataDir != "" && !filepath.IsAbs(c.DataDir) {
		return filepath.Join(c.Folder(), c.DataDir)
	}
	return c.DataDir
}
