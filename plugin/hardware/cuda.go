package hardware

import (
	"context"
	"encoding/csv"
	"errors"
	"regexp"
	"strconv"
	"strings"
)

// cudaFields are what nvidia-smi is asked for. The version of CUDA is no field of
// it: asking for that fails, and then there seem to be no devices at all.
const cudaFields = "index,name,uuid,memory.total,memory.free,driver_version"

const mebibyte = 1 << 20

// detectCUDA asks nvidia-smi. The note says why it's of no use where it's there.
func detectCUDA(ctx context.Context) (*CUDA, string) {
	text, err := output(ctx, "nvidia-smi", "--query-gpu="+cudaFields, "--format=csv,noheader,nounits")
	if errors.Is(err, errMissing) {
		return nil, ""
	}
	if err != nil {
		return nil, "nvidia-smi: " + err.Error() + " " + firstLine(text)
	}
	c := parseCUDA(text)
	if len(c.Devices) == 0 {
		return nil, "nvidia-smi lists no devices"
	}
	c.Version = cudaVersion(ctx)
	return c, ""
}

// parseCUDA reads the lines of nvidia-smi. What a device doesn't tell ([N/A]) is zero.
func parseCUDA(text string) *CUDA {
	r := csv.NewReader(strings.NewReader(text))
	r.FieldsPerRecord, r.TrimLeadingSpace, r.LazyQuotes = -1, true, true
	c := &CUDA{}
	for {
		row, err := r.Read()
		if err != nil {
			return c
		}
		if len(row) != strings.Count(cudaFields, ",")+1 {
			continue // a message
		}
		index, err := strconv.Atoi(strings.TrimSpace(row[0]))
		if err != nil {
			continue
		}
		c.Driver = known(row[5])
		c.Devices = append(c.Devices, Device{
			Index: index, Name: known(row[1]), UUID: known(row[2]), MemoryTotal: mebibytes(row[3]), MemoryFree: mebibytes(row[4]),
		})
	}
}

// known is a field's text, empty for what nvidia-smi puts where it knows nothing.
func known(text string) string {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "[") || text == "N/A" {
		return ""
	}
	return text
}

func mebibytes(text string) uint64 {
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 40)
	if err != nil {
		return 0
	}
	return n * mebibyte
}

// cudaVersion is in the heading that nvidia-smi prints for people; a machine that
// compiles has it from nvcc as well.
func cudaVersion(ctx context.Context) string {
	for _, source := range []struct {
		program string
		args    []string
		version string
	}{
		{"nvidia-smi", nil, `CUDA Version:\s*([0-9]+(?:\.[0-9]+)*)`},
		{"nvcc", []string{"--version"}, `release ([0-9]+(?:\.[0-9]+)*)`},
	} {
		text, err := output(ctx, source.program, source.args...)
		if err != nil {
			continue
		}
		if m := regexp.MustCompile(source.version).FindStringSubmatch(text); m != nil {
			return m[1]
		}
	}
	return ""
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	const most = 200
	return strings.ToValidUTF8(line[:min(len(line), most)], "?")
}
