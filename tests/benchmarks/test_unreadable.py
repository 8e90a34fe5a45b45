from benchmarks.app.unreadable import measure, write_folder, write_zip_of_noise, write_zip_of_zeros

SIZE = 4 * 2**20


def test_unreadable_files_do_not_stay_in_memory(tmp_path):
    found = measure(write_folder(tmp_path, 40, SIZE))  # 168 MB in all
    assert found["outcome"] == "40 read, 40 left out"
    assert found["peak"] < 80


def test_unreadable_entries_of_a_zip_do_not_stay_in_memory(tmp_path):
    found = measure(write_zip_of_noise(tmp_path, 40, SIZE))
    assert found["outcome"] == "40 read, 40 left out"
    assert found["peak"] < 80


def test_a_zip_that_expands_far_is_refused_before_it_is_read(tmp_path):
    found = measure(write_zip_of_zeros(tmp_path, 20, SIZE))
    assert "expands to over 100 times its size" in found["outcome"]
    assert found["peak"] < 40
