# make                 set everything up, run the three parts, compare the models, write weights/report.html
# make DATA=folder     the same on your own photos: folder/train/<class>/ and folder/validation/<class>/
# make RECIPE=improved the same with the improved recipe; with DATA=folder too
# make setup           set up alone: virtual environment, packages, ImageNet weights
# make data-tools      install the packages of the scripts in data/ that collect, prune and split photos
# make cats-and-dogs   download the blog post's photos, 69 MB; then: make DATA=data/cats_and_dogs
# make photos          collect photos of both cats from the internet, prune and split them; run it again to resume
# make test            run the tests but for the slow ones; TESTS=tests/test_images.py: some of them
# make test-all        run all tests
# make lint            check the code's style and types
# make clean           remove what is computed again: cached activations and drawn cats; models and photos stay

PYTHON ?= python3
RECIPE ?= original
DATA ?= $(if $(wildcard data/train),data,data/drawn)
PHOTO ?=

# Names of files and folders reach the commands through the environment, so that neither make nor a shell runs what is in
# them; a home folder's ~, which not every shell replaces, is replaced here.
ifneq ($(origin DATA),file)
override DATA := $(if $(filter ~/%,$(firstword $(value DATA))),$(subst ~/,$(HOME)/,$(value DATA)),$(value DATA))
endif
ifneq ($(origin PHOTO),file)
override PHOTO := $(value PHOTO)
endif
export DATA PHOTO

python := .venv/bin/python
imagenet := weights/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5

flags = --data "$$DATA" --recipe $(RECIPE)
saved := weights$(if $(filter-out original,$(RECIPE)),/$(RECIPE))

# The drawn cats are there to see everything work soon: a third of the recipe's epochs in the slow part.
ifeq ($(DATA),data/drawn)
photos := data/drawn/.complete
part3 := $(if $(filter original,$(RECIPE)),--epochs 10)
note := echo "These cats are drawn, not photographed. To train on photos of your own: make DATA=folder. To predict photos of real \
	calicos and tabbies: add --weights weights/pretrained/fine_tuned_vgg16.weights.h5 to predict.py"
endif

# make photos: several queries for each class, since a source limits the photos of one. COLLECT_FLAGS: --source flickr.
COUNT ?= 1500
TRAIN ?= 1000
VALIDATION ?= 300
COLLECT_FLAGS ?=
export COLLECT_TO := $(if $(filter data/drawn,$(DATA)),data,$(DATA))
calico := "calico cat" "calico kitten" "calico cat face" "calico cat sleeping" "tricolor cat" "tortoiseshell and white cat" "calico cat portrait" "calico cat outdoors"
tabby := "tabby cat" "tabby kitten" "mackerel tabby" "silver tabby cat" "brown tabby cat" "classic tabby cat" "tabby cat face" "tabby cat sleeping"

.PHONY: all setup data-tools cats-and-dogs photos test test-all lint clean
all: setup $(photos)
	@$(note)
	@echo; echo "== Part 1: small convnet"
	$(python) fine_tuning_VGG16_pt1.py $(flags)
	@echo; echo "== Part 2: bottleneck features and top model"
	$(python) fine_tuning_VGG16_pt2.py $(flags)
	@echo; echo "== Part 3: fine-tuning"
	$(python) fine_tuning_VGG16_pt3.py $(flags) $(part3)
	@echo; echo "== One photo, by the trained models side by side"
	$(python) tools/compare.py "$${PHOTO:-$$DATA/validation}" --save $(saved)/prediction.png
	@echo; echo "== Training report"
	$(python) tools/report.py --data "$$DATA" --weights-dir $(saved)
	@$(note)

setup: .venv/.installed $(imagenet)

.venv/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else \
	"error: Python 3.11 to 3.13 is needed and $(PYTHON) is %d.%d: name another with make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv .venv
	$(python) -m pip install --disable-pip-version-check --quiet -r requirements.txt
	@touch $@

.venv/.installed-data: requirements-data.txt .venv/.installed
	$(python) -m pip install --disable-pip-version-check --quiet -r requirements-data.txt
	@touch $@

.venv/.installed-dev: requirements-dev.txt requirements-data.txt requirements-export.txt requirements-demo.txt requirements-scale.txt .venv/.installed
	$(python) -m pip install --disable-pip-version-check --quiet -r requirements-dev.txt
	@touch $@

$(imagenet): | .venv/.installed
	$(python) -m tutorial.imagenet_weights

data-tools: .venv/.installed-data

cats-and-dogs: data-tools
	$(python) data/cats_and_dogs.py
	@echo "or all three parts: make DATA=data/cats_and_dogs"

# Photos of calico and tabby cats. A person has to check what prune.py finds: mark photos, run this again to move them.
photos: data-tools $(imagenet)
	$(python) data/collect.py $(calico) --class calico --count $(COUNT) --data "$$COLLECT_TO" $(COLLECT_FLAGS)
	$(python) data/collect.py $(tabby) --class tabby --count $(COUNT) --data "$$COLLECT_TO" $(COLLECT_FLAGS)
	test ! -e "$$COLLECT_TO/prune.csv" || $(python) data/prune.py --apply --data "$$COLLECT_TO"
	$(python) data/prune.py --data "$$COLLECT_TO"
	$(python) data/split.py --train $(TRAIN) --validation $(VALIDATION) --data "$$COLLECT_TO"
	@echo "mark photos in $$COLLECT_TO/prune.html, save prune.csv to $$COLLECT_TO, run make photos again; then: make"

data/drawn/.complete: | .venv/.installed
	$(python) data/draw_cats.py
	@touch $@

test: .venv/.installed-dev $(imagenet)
	$(python) -m pytest -q -n 2 --dist loadgroup --no-loadscope-reorder -m "not slow" $(TESTS)

test-all: .venv/.installed-dev $(imagenet)
	$(python) -m pytest -q -n 2 --dist loadgroup --no-loadscope-reorder $(TESTS)

lint: .venv/.installed-dev
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(python) -m mypy

clean:
	find weights -path weights/pretrained -prune -o -type d -name activations -prune -exec rm -rf {} +
	test ! -d data/drawn || find data/drawn -type f -name '*.jpg' -exec grep -qa 'drawn by data/draw_cats.py' {} \; -delete
	rm -f data/drawn/.complete
	test ! -d data/drawn || find data/drawn -type d -empty -delete
	@echo "trained models and interrupted runs are still in weights/: remove what you do not need"
